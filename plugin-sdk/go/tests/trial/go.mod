module trial

go 1.24

tool portcullis.example/plugin/cmd/portcullis-build

require portcullis.example/plugin v0.0.0

replace portcullis.example/plugin => ../..
