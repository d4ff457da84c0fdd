// From go.bytecodealliance.org/pkg v0.2.1, Apache-2.0 WITH LLVM-exception. See ../LICENSE.

package wit_types

type Tuple1[T0 any] struct {
	F0 T0
}

type Tuple2[T0 any, T1 any] struct {
	F0 T0
	F1 T1
}

type Tuple3[T0 any, T1 any, T2 any] struct {
	F0 T0
	F1 T1
	F2 T2
}
