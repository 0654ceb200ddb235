"""Black-box scores and how a compiled step gets them."""
