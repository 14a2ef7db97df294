"""Plain torch networks: backbones with pooling switches, encoder, attention, decoder. No Lightning here."""
