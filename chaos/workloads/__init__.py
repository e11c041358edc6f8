"""What clients do meanwhile; the same code in every arena, and what it leaves is a history."""
