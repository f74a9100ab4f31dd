"""Other people's tools: spaces of ConfigSpace here, our searches as samplers of Optuna."""
