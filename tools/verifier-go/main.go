// Command verifier reads a Cairn archive, or one evidence bundle, and says of each log and stream whether it is intact,
// broken, or not verifiable here. It shares no code with what wrote the archive.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	code, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
	}
	os.Exit(code)
}

// exitUsage is for what could not be begun: neither verdict was reached.
const exitUsage = 64

func run(args []string, out, progress io.Writer) (int, error) {
	flags := flag.NewFlagSet("verifier", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Usage = func() {
		fmt.Fprintln(progress, "verifier [flags] DIRECTORY|BUNDLE")
		flags.PrintDefaults()
	}
	rootKey := flags.String("root-key", "", "the root's verifier `key`: <deployment>/root+<id>+<base64>")
	keyFile := flags.String("keys", "", "a `file` of key history notes, one behind another, instead of the archive's")
	asJSON := flags.Bool("json", false, "print the verdict as JSON")
	expectAnchors := flags.Bool("expect-anchors", false, "what no anchor checkpoint covers is not verifiable here")
	quiet := flags.Bool("quiet", false, "no progress on stderr")
	var keptFiles []string
	flags.Func("checkpoint", "a checkpoint `file` kept from before; may be given again", func(path string) error {
		keptFiles = append(keptFiles, path)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return exitUsage, nil
	}
	if flags.NArg() != 1 || (*rootKey == "" && *keyFile == "") {
		flags.Usage()
		return exitUsage, errors.New("one archive, and a root key or a file of keys, are needed")
	}
	s := settings{expectAnchors: *expectAnchors, progress: func(string, int64) {}}
	if !*quiet {
		s.progress = progressOn(progress)
	}
	if *rootKey != "" {
		key, err := parseVerifierKey(*rootKey)
		if err != nil {
			return exitUsage, fmt.Errorf("--root-key: %w", err)
		}
		s.rootKey = &key
	}
	if *keyFile != "" {
		raw, err := os.ReadFile(*keyFile)
		if err != nil {
			return exitUsage, err
		}
		s.keyNotes = splitNotes(raw)
	}
	for _, path := range keptFiles {
		kept, err := readKept(path)
		if err != nil {
			return exitUsage, fmt.Errorf("%s: %w", path, err)
		}
		s.kept = append(s.kept, kept)
	}
	r, err := verifyPath(flags.Arg(0), s)
	if err != nil {
		return exitUsage, err
	}
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(r)
	} else {
		err = printReport(out, r)
	}
	return exitCode(r.Verdict), err
}

func verifyPath(path string, s settings) (*report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return verifyBundle(path, s)
	}
	from, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	return verifyBucket(from, s)
}

// readKept reads a checkpoint that the auditor kept. He vouches for it, so its signatures are not looked at.
func readKept(path string) (witnessed, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return witnessed{}, err
	}
	read, err := parseNote(raw)
	if err != nil {
		return witnessed{}, err
	}
	c, err := parseCheckpoint(read.text)
	return witnessed{c, "a checkpoint that was kept"}, err
}

func progressOn(out io.Writer) func(string, int64) {
	total := int64(0)
	return func(origin string, leaves int64) {
		total += leaves
		fmt.Fprintf(out, "\r%s: %d events read", origin, total)
	}
}
