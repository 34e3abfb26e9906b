"""The judge as a service: a server that judges code for many clients, and the client."""
