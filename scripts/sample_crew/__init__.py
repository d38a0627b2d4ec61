"""A flow of crewAI with three crews and a scripted model, which knows nothing of master rows."""
