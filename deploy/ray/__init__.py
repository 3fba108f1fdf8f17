"""Many engines behind one API, as a Ray Serve application."""
