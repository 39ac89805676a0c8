"""HTTP as every caller sees it: which URLs a call may go to, how an answer is read, how long it asks to wait."""
