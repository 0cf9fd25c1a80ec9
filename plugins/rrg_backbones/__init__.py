"""Networks behind the interfaces: the transformer trunk, ViT and BERT."""
