"""The watch: finds flows whose holder gives no signs any more, those that are back, and late ones."""
