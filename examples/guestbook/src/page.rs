//! The page: one HTML text with the title and the greeting put in, escaped.

const PAGE: &str = include_str!("page.html");

pub(crate) fn render(title: &str, greeting: &str) -> String {
    PAGE.replace("{{greeting}}", &escape(greeting)).replace("{{title}}", &escape(title))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '{' => out.push_str("&#123;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_text() {
        let page = render("<b>&", "{{title}}");
        assert!(page.contains("<title>&lt;b&gt;&amp;</title>"));
        assert!(page.contains("&#123;&#123;title}}"));
        assert!(!page.contains("{{"));
    }
}
