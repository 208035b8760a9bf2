"""AWS in process: moto's server with its gaps closed, one file a service, and faults injected in the protocol."""
