package slowops

// Ending is ending, for a test.
var Ending = ending
