"""GoogleSQL as text: types, statements, scripts and what they may touch. Every warehouse reads it here."""
