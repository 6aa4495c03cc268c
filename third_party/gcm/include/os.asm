; Stands before the library's own include/os.asm when its assembly is read, and adds one thing: a
; section for each function, so that the linker keeps only those that are called. That is a quarter.
%include "lib/include/os.asm"

%ifndef SLUICE_FUNCTION_SECTIONS
%define SLUICE_FUNCTION_SECTIONS
%macro function_section 1
section .text.%1 progbits alloc exec nowrite align=64
global %1:function
%endmacro
%endif
%define MKGLOBAL(name,type,scope) function_section name
