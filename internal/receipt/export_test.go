package receipt

import "unsafe"

// Size is how many bytes a receipt has.
const Size = unsafe.Sizeof(Receipt{})
