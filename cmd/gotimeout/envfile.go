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

// String returns the file's path.
func (f envFile) String() string { return f.path }

// maxEnvFile is larger than any such file.
const maxEnvFile = 1 << 20

// UnmarshalText reads the file at a path. Its errors name a line by its number, because the
// text of the line may be a secret. kong calls it.
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
	delete(f.values, "") // lines without a variable have the name ""
	return nil
}

// variableName matches the text up to the = of a line.
var variableName = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*`)

// quotedValue matches the two forms of a value in quotes, and a comment after it.
var quotedValue = regexp.MustCompile(`^(?:'([^']*)'|"((?:[^"\\]|\\.)*)")(?:\s+#.*)?$`)

// readVariable reads a line; name is "" for a line without a variable. A value without quotes
// ends at a # after a space. In single quotes every character stands for itself. In double
// quotes \n, \" and \\ stand for a newline, a quote and a backslash. A $ always stands for
// itself, so that a password needs no escaping.
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

// args returns the flags with which another command reads the same file.
func (f envFile) args() []string {
	if f.path == "" {
		return nil
	}
	return []string{"--env-file=" + f.path}
}

// export sets the variables with a prefix in this process, unless they are set.
func (f envFile) export(prefix string) {
	for name, value := range f.values {
		if strings.HasPrefix(name, prefix) && os.Getenv(name) == "" {
			_ = os.Setenv(name, value) // fails only for a name that variable refuses
		}
	}
}

// envFileOf returns the file of a command line; it has no variables if there is no file.
func envFileOf(c *kong.Context) envFile {
	for _, flag := range c.Flags() {
		if file, ok := c.FlagValue(flag).(envFile); ok {
			return file
		}
	}
	return envFile{}
}

// variables returns the variables of the environment, and of --env-file where the environment
// has none.
func variables(c *kong.Context, getenv environment) environment {
	file := envFileOf(c)
	return func(name string) string { return cmp.Or(getenv(name), file.values[name]) }
}
