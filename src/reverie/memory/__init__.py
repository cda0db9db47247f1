"""M: the MDN-RNN that predicts the next latent."""
