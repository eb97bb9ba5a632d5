"""restorekit"""
