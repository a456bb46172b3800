//! Reads the text of a label selector, with upstream's words for what is wrong with it.

use super::label::{LabelOperator, LabelRequirement, check_key, told};
use super::lexer::{Kind, Token, tokens};
use crate::field::{FieldErrors, Path};

pub(super) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { tokens: tokens(text), at: 0 }
    }

    /// The next token as a value: `in` and `notin` are plain words there.
    fn peek(&self) -> Token<'a> {
        let mut token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        if matches!(token.kind, Kind::In | Kind::NotIn) {
            token.kind = Kind::Identifier;
        }
        token
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn requirements(&mut self) -> Result<Vec<LabelRequirement>, String> {
        let mut found = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Identifier | Kind::Not => {}
                Kind::End => return Ok(found),
                _ => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        token.text
                    ));
                }
            }
            found.push(self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
            let token = self.next();
            match token.kind {
                Kind::End => return Ok(found),
                Kind::Comma => {
                    let after = self.peek();
                    if !matches!(after.kind, Kind::Identifier | Kind::Not) {
                        return Err(format!("found '{}', expected: identifier after ','", after.text));
                    }
                }
                _ => return Err(format!("found '{}', expected: ',' or 'end of string'", token.text)),
            }
        }
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let mut token = self.next();
        let negated = token.kind == Kind::Not;
        if negated {
            token = self.next();
        }
        if token.kind != Kind::Identifier {
            return Err(format!("found '{}', expected: identifier", token.text));
        }
        let key = token.text;
        let mut errors = FieldErrors::new();
        check_key(&key, &Path::root(), &mut errors);
        if !errors.is_empty() {
            return Err(told(&errors));
        }
        let (operator, values) = if negated {
            (LabelOperator::DoesNotExist, Vec::new())
        } else if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            (LabelOperator::Exists, Vec::new())
        } else {
            self.comparison()?
        };
        LabelRequirement::new(&key, operator, values, &Path::root()).map_err(|errors| told(&errors))
    }

    fn comparison(&mut self) -> Result<(LabelOperator, Vec<String>), String> {
        let token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        self.at += 1;
        let operator = match token.kind {
            Kind::Equals => LabelOperator::Equals,
            Kind::DoubleEquals => LabelOperator::DoubleEquals,
            Kind::NotEquals => LabelOperator::NotEquals,
            Kind::Greater => LabelOperator::GreaterThan,
            Kind::Less => LabelOperator::LessThan,
            Kind::In => return Ok((LabelOperator::In, self.values()?)),
            Kind::NotIn => return Ok((LabelOperator::NotIn, self.values()?)),
            _ => return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", token.text)),
        };
        Ok((operator, vec![self.exact_value()?]))
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.next();
        if token.kind == Kind::Identifier {
            return Ok(token.text.into_owned());
        }
        Err(format!("found '{}', expected: identifier", token.text))
    }

    /// `(a,b)`; a missing item is the empty string, `()` is the empty set.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open.kind != Kind::Open {
            return Err(format!("found '{}' expected: '('", open.text));
        }
        let first = self.peek();
        match first.kind {
            Kind::Identifier | Kind::Comma => {}
            Kind::Close => {
                self.at += 1;
                return Ok(Vec::new());
            }
            _ => return Err(format!("found '{}', expected: ',', ')' or identifier", first.text)),
        }
        let mut found: Vec<String> = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Identifier => {
                    found.push(token.text.into_owned());
                    let after = self.peek();
                    match after.kind {
                        Kind::Comma => {}
                        Kind::Close => break,
                        _ => return Err(format!("found '{}', expected: ',' or ')'", after.text)),
                    }
                }
                Kind::Comma => {
                    if found.is_empty() {
                        found.push(String::new());
                    }
                    match self.peek().kind {
                        Kind::Close => {
                            found.push(String::new());
                            break;
                        }
                        Kind::Comma => {
                            self.at += 1;
                            found.push(String::new());
                        }
                        _ => {}
                    }
                }
                _ => return Err(format!("found '{}', expected: ',', or identifier", token.text)),
            }
        }
        self.at += 1;
        Ok(found)
    }
}
