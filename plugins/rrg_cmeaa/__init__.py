"""CmEAA: cross-modal enhancement and alignment between an image encoder and a language model."""
