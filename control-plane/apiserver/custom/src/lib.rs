//! Custom resources: what a CustomResourceDefinition says, compiled.
