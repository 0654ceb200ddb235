"""Networks for images and for points in the plane."""
