"""How far does diabetes progress? Torch, regression."""
