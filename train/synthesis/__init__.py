"""Procedural dermatoscopic images: texture primitives, skin and camera, one recipe per class."""
