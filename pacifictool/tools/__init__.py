"""Small tools that several packages use, each once.

They know nothing of platforms, Kafka or Spark and import only `errors` and `progress`:

- `backoff`: how long to wait before the next attempt;
- `connections`: why a TCP connection or a TLS handshake fails, for a person;
- `outage`: reports an outage once and its end once;
- `rates`: the rate of a growing counter;
- `threads`: runs calls on threads, bounded in number or in time;
- `times`: durations and timestamps as text.
"""
