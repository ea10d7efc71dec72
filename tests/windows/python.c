/* A python.exe for a bare Python DLL, which PYDLL names. */
#include <stdio.h>
#include <windows.h>

typedef int (*Main)(int, wchar_t **);

int wmain(int argc, wchar_t **argv) {
    HMODULE library = LoadLibraryW(PYDLL);
    Main run = library ? (Main)(void *)GetProcAddress(library, "Py_Main") : NULL;
    if (!run) {
        fprintf(stderr, "cannot load Python's DLL: error %lu\n", GetLastError());
        return 120;
    }
    return run(argc, argv);
}
