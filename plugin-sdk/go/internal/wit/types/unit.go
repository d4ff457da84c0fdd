// From go.bytecodealliance.org/pkg v0.2.1, Apache-2.0 WITH LLVM-exception. See ../LICENSE.

package wit_types

type Unit struct{}
