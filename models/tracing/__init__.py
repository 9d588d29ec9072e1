"""Knowledge tracing: networks that predict whether the next answer is right."""
