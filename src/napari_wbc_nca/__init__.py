"""Segment, type and correct white blood cells with weakly supervised cellular automata."""
