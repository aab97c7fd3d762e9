package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// envFlags are the flags of the commands that read variables.
type envFlags struct {
	EnvFile envFile `placeholder:"FILE" predictor:"file" help:"A file of NAME=VALUE lines, as docker --env-file takes it. They count as environment variables, where the environment has none of the name."`
}

// envFile is a file of variables.
type envFile struct {
	path   string
	values map[string]string
}

// String is the file's path.
func (f envFile) String() string { return f.path }

// maxEnvFile is more than any such file has.
const maxEnvFile = 1 << 20

// UnmarshalText reads the file of a path. Its errors name lines by their number: the
// text of a line may be a secret. kong calls it.
func (f *envFile) UnmarshalText(path []byte) error {
	file, err := os.Open(string(path))
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxEnvFile+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxEnvFile:
		return fmt.Errorf("%s is over 1 MB: it is no file of NAME=VALUE lines", path)
	}
	f.path, f.values = string(path), map[string]string{}
	number := 0
	for line := range strings.Lines(string(bytes.TrimPrefix(text, []byte("\ufeff")))) {
		number++
		name, value, err := readVariable(strings.TrimSpace(line))
		if err != nil {
			return fmt.Errorf("%s, line %d %w", path, number, err)
		}
		f.values[name] = value
	}
	delete(f.values, "") // of lines without a variable
	return nil
}

// variableName is what stands before the = of a line.
var variableName = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*`)

// quotedValue are the two forms of a value in quotes, which a comment may follow.
var quotedValue = regexp.MustCompile(`^(?:'([^']*)'|"((?:[^"\\]|\\.)*)")(?:\s+#.*)?$`)

// readVariable reads a line: "" for one without a variable. A value without quotes ends at
// a # behind a space. Between single quotes every character is itself, between double
// quotes \n, \" and \\ are a line's end, a quote and a backslash. A $ is always itself,
// so that a password needs no care.
func readVariable(line string) (name, value string, err error) {
	if line == "" || strings.HasPrefix(line, "#") {
		return "", "", nil
	}
	found := variableName.FindStringSubmatch(line)
	if found == nil {
		return "", "", errors.New("is no variable: write NAME=VALUE, or # before a comment")
	}
	value = line[len(found[0]):]
	if !strings.HasPrefix(value, "'") && !strings.HasPrefix(value, `"`) {
		value, _, _ = strings.Cut(" "+value, " #")
		return found[1], strings.TrimSpace(value), nil
	}
	in := quotedValue.FindStringSubmatch(value)
	if in == nil {
		return "", "", errors.New("has a quote without its end: write NAME='VALUE' or NAME=\"VALUE\"")
	}
	return found[1], in[1] + strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`).Replace(in[2]), nil
}

// args are the flags of another command that reads the same file.
func (f envFile) args() []string {
	if f.path == "" {
		return nil
	}
	return []string{"--env-file=" + f.path}
}

// export gives the variables whose names begin so to the process, unless it has them.
func (f envFile) export(prefix string) {
	for name, value := range f.values {
		if strings.HasPrefix(name, prefix) && os.Getenv(name) == "" {
			_ = os.Setenv(name, value) // fails only for a name that variable refuses
		}
	}
}

// envFileOf is the file of a command line, without variables where there is none.
func envFileOf(c *kong.Context) envFile {
	for _, flag := range c.Flags() {
		if file, ok := c.FlagValue(flag).(envFile); ok {
			return file
		}
	}
	return envFile{}
}

// variables are those of the environment, and where it has none those of --env-file.
func variables(c *kong.Context, getenv environment) environment {
	file := envFileOf(c)
	return func(name string) string { return cmp.Or(getenv(name), file.values[name]) }
}
