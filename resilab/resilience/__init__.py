"""The resilience policies of the reference document, one module each."""
