"""The loops: trial, A/B. Written against harness.interfaces, never against libvirt or SSH."""
