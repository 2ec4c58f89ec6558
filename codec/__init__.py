"""The learned codec in torch: transforms, entropy model and their training; TerraCodec models."""
