"""Serving: one transport-free `answer`, thin shells around it, and the supervisor behind `serve`."""
