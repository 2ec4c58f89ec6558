"""What keeps the process whole: memory scrubbing, watchdog, throttle, telemetry, boot count."""
