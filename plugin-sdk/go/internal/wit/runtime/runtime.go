// From go.bytecodealliance.org/pkg v0.2.1, Apache-2.0 WITH LLVM-exception (see ../LICENSE), changed:
// memory that is wanted before Go runs comes from an array, and that of a call's results from a piece
// that was made before the call.

// Package runtime is what the generated bindings call.
package runtime

import (
	"fmt"
	"runtime"
	"unsafe"
)

type Handle struct {
	value int32
}

func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("used after the hook has ended, or after it was closed")
	}
	return h.value
}

func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

func (h *Handle) Set(value int32) {
	if value == 0 {
		panic("nil handle")
	}
	if h.value != 0 {
		panic("handle already set")
	}
	h.value = value
}

func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

func MakeHandle(value int32) *Handle {
	if value == 0 {
		panic("nil handle")
	}
	return &Handle{value}
}

func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	pointer := allocateRaw(size, align)
	pinner.Pin(pointer)
	return pointer
}

func allocateRaw(size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}

	if size%align != 0 {
		panic(fmt.Sprintf("size %v is not compatible with alignment %v", size, align))
	}

	switch align {
	case 1:
		return unsafe.Pointer(unsafe.SliceData(make([]uint8, size)))
	case 2:
		return unsafe.Pointer(unsafe.SliceData(make([]uint16, size/align)))
	case 4:
		return unsafe.Pointer(unsafe.SliceData(make([]uint32, size/align)))
	case 8:
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, size/align)))
	default:
		panic(fmt.Sprintf("unsupported alignment: %v", align))
	}
}

// The adapter for WASI takes its stack and its state, 64 KiB each, when Go's runtime asks the first
// thing of it, which is before there is a heap.
var (
	early     [192 << 10]byte
	earlyUsed uintptr
	running   bool
)

func init() {
	running = true
	Reserve(chunk)
}

var pinner = runtime.Pinner{}

// While the gateway writes results, Go may not call it, and its collector does: it asks for the time. So
// the memory for them is there before. Results point into it and keep it.
var (
	room []byte
	used uintptr
)

const (
	chunk = 256 << 10
	least = 128 << 10
)

// Reserve makes room for so many octets of results.
func Reserve(size uintptr) {
	if uintptr(len(room))-used < size {
		room, used = make([]byte, max(size, chunk)), 0
	}
}

// Unpin gives back to the collector what the gateway has written: once it is held by Go's own
// pointers.
func Unpin() {
	pinner.Unpin()
	Reserve(least)
}

//go:wasmexport cabi_realloc
func cabiRealloc(oldPointer unsafe.Pointer, oldSize, align, newSize uintptr) unsafe.Pointer {
	if oldPointer != nil || oldSize != 0 {
		panic("nothing that Go allocates for others can grow")
	}
	if running {
		at := (used + align - 1) &^ (align - 1)
		if newSize > 0 && at+newSize <= uintptr(len(room)) {
			used = at + newSize
			return unsafe.Pointer(&room[at])
		}
		return Allocate(&pinner, newSize, align)
	}
	at := (uintptr(unsafe.Pointer(&early)) + earlyUsed + align - 1) &^ (align - 1)
	earlyUsed = at + newSize - uintptr(unsafe.Pointer(&early))
	if earlyUsed > uintptr(len(early)) {
		return nil
	}
	return unsafe.Pointer(at)
}
