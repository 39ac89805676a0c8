"""One module for each page: routes that check the caller, ask a view and render a template."""
