"""What the services share: settings, errors, health, the request's frame, the server. No business of any service."""
