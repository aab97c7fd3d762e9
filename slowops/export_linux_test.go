package slowops

// Ending exports ending to the tests.
var Ending = ending
