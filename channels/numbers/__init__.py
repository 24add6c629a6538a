"""The numbers of an organisation: connected, checked, shown, and the lines that lead to their providers."""
