package main

import "errors"

func verifyBundle(path string, s settings) (*report, error) { return nil, errors.New("bundles: todo") }
