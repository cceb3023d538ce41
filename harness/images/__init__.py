"""Guest root images and initramfs archives."""
