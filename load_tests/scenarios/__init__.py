"""Load as users and shops make it, judged by the service levels that an install promises."""
