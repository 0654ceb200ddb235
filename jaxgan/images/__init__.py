"""Generative adversarial networks of images and of points in the plane."""
