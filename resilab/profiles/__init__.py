"""The policies as libraries have them: one module for each library, one function for each of its patterns.

The words of a library are the keyword arguments of its functions, in Python spelling and in
seconds, with the library's own defaults; percentages stay percentages. Fields of our own
specs may be given beside them, and win. `CircuitBreaker.like("polly", ...)` calls
`profiles.polly.circuit_breaker(...)`.

`Fallback` has no profile: no library has a default answer, and what they handle
(`handle` and `handle_result`, in hyx `on` and `if_`) are *handled_errors* and
*handled_results*.
"""
