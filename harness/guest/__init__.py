"""Guests: libvirt domains, consoles, SSH, disks."""
