module portcullis.example/plugin

go 1.24
