"""V: the ConvVAE that turns frames into latents."""
