"""What reads the engine's snapshots and shows them: the catalogue of metrics, and the management port."""
