"""Training on several devices: what differs between the engines."""
