package embedded

// Outside are the statements that the guard's own test refuses.
var Outside = outside
