"""What a laptop lacks: a Java runtime, verified jars, a Kafka broker, and processes that end with their parent."""
